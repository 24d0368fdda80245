"""What the log said of each file lately."""

from watcher.base.journal import MOST_EVENTS, MOST_FILES, Journal


def seen(number: int, file: str = "a.csv", client: str = "default") -> dict[str, object]:
    return {"event": "upload_seen", "client": client, "file": file, "number": number}


def test_what_is_said_of_a_clients_file_is_kept_in_order() -> None:
    journal = Journal()
    for event in (seen(1), seen(2, "b.csv"), seen(3, client="acme"), {"event": "service_started"}, seen(4)):
        journal.note(event)
    assert journal.of("default", "a.csv") == (seen(1), seen(4))
    assert journal.of("acme", "a.csv") == (seen(3, client="acme"),)
    assert journal.of("acme", "b.csv") == ()


def test_an_event_that_is_changed_later_is_kept_as_it_was() -> None:
    journal, event = Journal(), seen(1)
    journal.note(event)
    event["number"] = 2
    assert journal.of("default", "a.csv") == (seen(1),)


def test_of_each_file_the_last_events_are_kept_and_of_all_files_the_last_ones() -> None:
    journal = Journal()
    for number in range(MOST_EVENTS + 1):
        journal.note(seen(number))
    assert [each["number"] for each in journal.of("default", "a.csv")] == [*range(1, MOST_EVENTS + 1)]
    for number in range(MOST_FILES - 1):
        journal.note(seen(number, f"{number}.csv"))
    journal.note(seen(-1))
    journal.note(seen(0, "one more.csv"))
    assert journal.of("default", "0.csv") == ()
    assert journal.of("default", "a.csv")[-1] == seen(-1)
