"""Which lines of a block are records, and what is wrong with the others.

One broken record never takes its neighbours with it. Reading goes from line to line; where the text from a line's
start is not a record, that line alone is rejected and reading resumes at the next one. A record of several lines each
of which may as well be a record by itself is as likely two stray quotes: all of these lines are rejected, since nobody
is made out of the inside of a cell.
"""

from typing import Final

import numpy as np

from importer.reading.continuing import NOT_A_RECORD, ONE_LINE, WAITS, Continuation, More
from importer.reading.grammar import LineKind, has_stray_quotes, is_blank, quoted, value
from importer.reading.lines import BOM, Lines, classify
from importer.reading.multiline_records import NO_SPANS, Spans, spanning_records
from importer.reading.nobodies import Nobody
from importer.reading.splits import Odd, Passed, Problem, Rules, Split
from importer.reading.spreadsheet_rows import left_short, sixteen
from importer.reading.utf8 import Ints

_NONE: Final = np.empty(0, np.int64)


def split(
    data: bytes, rules: Rules, *, is_last: bool, invalid: Ints | None = None, row: int = 2, complete: Ints = _NONE
) -> Split:
    """Split a block that begins at the start of a record; its last line has a line end if `is_last`.

    Args:
        data: the block.
        rules: what its records must keep.
        is_last: whether no text follows.
        invalid: the offsets at which it is not valid UTF-8, where these are known already.
        row: the number of its first record.
        complete: `Split.complete` of the block before.
    """
    lines = classify(
        data,
        separator=rules.grammar.separator,
        allowed=rules.widths,
        longest=min(rules.longest_cell, rules.longest_record),
        invalid=invalid,
    )
    spans = spanning_records(
        lines, allowed=rules.widths, longest_record=rules.longest_record, longest_cell=rules.longest_cell
    )
    for several in (spans, NO_SPANS):
        splitting = _Splitting(data, lines, rules, several, is_last=is_last)
        if splitting.run():
            break
    return splitting.result(row, complete)


class _Splitting:
    """The one walk over the suspicious lines of a block."""

    def __init__(self, data: bytes, lines: Lines, rules: Rules, several: Spans, *, is_last: bool) -> None:
        self._data, self._lines, self._rules, self._is_last = data, lines, rules, is_last
        count = lines.starts.size
        self._good = lines.perfect & lines.sound
        self._begins = np.ones(count, np.bool_)
        self._plain = self._good.copy()
        self._several = several
        self._is_claimed = np.zeros(count, np.bool_)
        if several.firsts.size:
            self._take_several(several.firsts, several.lasts)
        self._is_empty = lines.starts == lines.ends
        self._suspects = np.flatnonzero(~(self._plain | self._is_empty))
        self._stop = count
        self._is_readable = not (lines.undecodable.any() or lines.nul.any())
        self._resume = 0
        self._blank: list[tuple[int, int]] = []
        self._passed: list[Passed] = []
        self._is_passed = np.zeros(count, np.bool_)
        self._marks: list[int] = []
        self._odd: list[Odd] = []
        self._problems: list[Problem] = []
        self._continuation = Continuation(data, lines, rules.grammar, rules.widths, rules.longest_record)
        self._pass_nobodies()

    def _take_several(self, firsts: Ints, lasts: Ints) -> None:
        steps = np.zeros(self._good.size + 1, np.int8)
        steps[firsts] = 1
        steps[lasts + 1] -= 1
        within = np.cumsum(steps[:-1], dtype=np.int8).astype(np.bool_)
        self._is_claimed = within
        self._plain |= within
        self._begins &= ~within
        self._begins[firsts] = self._good[firsts] = True

    def _pass_nobodies(self) -> None:
        """Take the perfect lines out that are nobody."""
        lines, grammar = self._lines, self._rules.grammar
        found = self._rules.nobodies.candidates(lines, self._rules.widths.names)
        for line in found[self._good[found]].tolist():
            text = self._data[lines.starts[line] : lines.ends[line]]
            cells = grammar.cells(text)
            kind = self._rules.nobodies.kind(text, cells)
            if kind is not None and not all(is_blank(value(cell)) for cell in cells):
                self._pass(line, kind)
                self._good[line] = self._plain[line] = False

    def run(self) -> bool:
        """Decide about the suspicious lines; False if records of several lines were taken that are none."""
        lines, suspects = self._lines, self._suspects
        for line, start, end in zip(
            suspects.tolist(), lines.starts[suspects].tolist(), lines.ends[suspects].tolist(), strict=True
        ):
            if line < self._resume:
                continue
            if not self._judge(line, self._data[start:end]):
                self._stop = line
                break
        return not self._is_claimed[: self._resume][~self._plain[: self._resume]].any()

    def _judge(self, line: int, text: bytes) -> bool:
        """Decide what begins on the line; False if more text is needed for that."""
        if len(text) > self._rules.longest_record:
            self._reject(line, line, "too_large", 0)
            return True
        text, is_marked = self._unmarked(line, text)
        shape, cells = self._rules.grammar.split(text)
        more = ONE_LINE
        if shape is LineKind.OPEN:
            more = self._continuation.of(line, len(cells), is_last=self._is_last)
        if more.last == WAITS:
            return False
        if is_marked:
            self._marks.append(line)
        if shape is LineKind.BROKEN or more.last == NOT_A_RECORD:
            self._reject(line, line, self._unreadable(line, line) or "bad_quotes", 0)
        elif shape is LineKind.OPEN:
            self._judge_several(line, text, more)
        else:
            self._judge_record(line, line, text, cells)
        return True

    def _unmarked(self, line: int, text: bytes) -> tuple[bytes, bool]:
        """The text without byte order marks before it, which stand where files were joined."""
        if not self._lines.marked[line]:
            return text, False
        while text.startswith(BOM):
            text = text[len(BOM) :]
        return text, True

    def _judge_several(self, first: int, text: bytes, more: More) -> None:
        """Decide about a well-formed record of several lines, the first of which has some text."""
        widths = self._rules.widths
        alone = self._rules.grammar.separators(text, is_inside=False) + 1 if more.are_whole else 0
        if more.are_whole and (widths.is_whole(alone) or not widths.is_whole(more.width)):
            self._marks += [line for line in range(first + 1, more.last + 1) if self._lines.marked[line]]
            self._release(first, more.last)
            for line in range(first, more.last + 1):
                self._reject(line, line, self._unreadable(line, line) or "bad_quotes", 0)
        else:
            start = self._lines.ends[first] - len(text)
            record = self._data[start : self._lines.ends[more.last]]
            self._judge_record(first, more.last, record, self._rules.grammar.cells(record))

    def _judge_record(self, first: int, last: int, record: bytes, cells: list[bytes]) -> None:
        """Decide about a well-formed record."""
        if kind := self._unreadable(first, last):
            self._reject(first, last, kind, 0 if has_stray_quotes(cells) else len(cells))
        elif has_stray_quotes(cells):
            self._reject(first, last, "bad_quotes", 0)
        elif all(is_blank(value(cell)) for cell in cells):
            self._blank.append((first, last))
            self._take(first, last)
        elif first == last and (nobody := self._rules.nobodies.kind(record, cells)):
            self._pass(first, nobody)
            self._take(first, last)
        elif kind := self._wrong_width(cells):
            self._reject(first, last, kind, len(cells))
        else:
            self._judge_cells(first, last, record, cells)

    def _wrong_width(self, cells: list[bytes]) -> str | None:
        """Why a record does not have the cells that it must have, if so."""
        widths = self._rules.widths
        if len(cells) < widths.names:
            return "too_few_cells"
        if not widths.may_be(len(cells)) or not all(is_blank(value(cell)) for cell in cells[widths.names :]):
            return "too_many_cells"
        is_short = len(cells) < widths.usual and is_blank(value(cells[widths.names - 1]))
        return "too_few_cells" if is_short else None

    def _judge_cells(self, first: int, last: int, record: bytes, cells: list[bytes]) -> None:
        """Decide about a well-formed record of the right width."""
        if len(record) > self._rules.longest_cell and max(map(len, map(value, cells))) > self._rules.longest_cell:
            self._reject(first, last, "too_large", len(cells))
            return
        self._accept(first, last, cells)
        self._take(first, last)

    def _accept(self, first: int, last: int, cells: list[bytes]) -> None:
        """Take a record, with the cells that have names."""
        names = self._rules.widths.names
        own = cells[:names] + [b""] * (names - len(cells))
        self._good[first] = True
        self._odd.append(Odd(first, last, self._rules.grammar.separator.join(map(quoted, own)), len(cells)))

    def _reject(self, first: int, last: int, kind: str, cells: int) -> None:
        self._problems.append(Problem(first, last, kind, cells))
        self._take(first, last)

    def _take(self, first: int, last: int) -> None:
        self._resume = last + 1
        if last > first:
            self._begins[first + 1 : last + 1] = False
            self._release(first + 1, last)

    def _release(self, first: int, last: int) -> None:
        """Take back what was thought of lines before it showed that they are a record's, or may be."""
        for flags in (self._good, self._plain, self._is_passed):
            flags[first : last + 1] = False

    def _pass(self, line: int, kind: Nobody) -> None:
        self._passed.append(Passed(line, kind))
        self._is_passed[line] = True

    def _unreadable(self, first: int, last: int) -> str | None:
        """Why the lines cannot be read at all, if so."""
        if self._is_readable:
            return None
        span = slice(first, last + 1)
        if self._lines.undecodable[span].any():
            return "bad_encoding"
        return "control_character.row" if self._lines.nul[span].any() else None

    def result(self, row: int, complete: Ints) -> Split:
        """What was decided, the first record having a number; lines that wait for more of their sixteen are left."""
        rows = row - 1 + np.cumsum(self._begins, dtype=np.int64)
        complete = self._take_left_short(rows, complete)
        stop = self._stop
        self._good[stop:] = False
        tail = self._empty_tail()
        self._begins[stop - tail :] = False
        empty = int(np.count_nonzero(self._begins & self._is_empty))
        passed = [found for found in self._passed if found.line < stop and self._is_passed[found.line]]
        passed.sort()
        blank = [last - first + 1 for first, last in self._blank if first < stop]
        alone = self._good & self._plain & ~self._is_claimed
        widths = self._rules.widths
        return Split(
            data=self._data,
            lines=self._lines,
            stop=stop,
            begins=self._begins,
            good=self._good,
            plain=self._plain,
            several=self._several.before(stop),
            odd=[odd for odd in self._odd if odd.first < stop],
            problems=[problem for problem in self._problems if problem.first < stop],
            blank=len(blank) + empty + len(passed),
            blank_lines=sum(blank) + empty + len(passed),
            passed=passed,
            marks=[line for line in self._marks if line < stop],
            is_ragged=widths.is_wider or bool((alone & (self._lines.widths != widths.names)).any()),
            complete=complete,
            empty_tail=tail,
        )

    def _take_left_short(self, rows: Ints, complete: Ints) -> Ints:
        """Take the short rows that a spreadsheet left; returns the numbers of the last sixteen's complete rows."""
        says_nothing = (
            self._plain & ~self._is_claimed & (self._lines.ends - self._lines.starts == self._lines.widths - 1)
        )
        is_other = self._good & ~says_nothing
        is_other[[problem.first for problem in self._problems if problem.kind == "too_many_cells"]] = True
        is_other[[first for first, last in self._blank if self._has_more_than_separators(first, last)]] = True
        others = np.concatenate((complete, rows[: self._stop][is_other[: self._stop]]))
        short = [problem for problem in self._problems if problem.kind == "too_few_cells"]
        numbers = rows[[problem.first for problem in short]] if short else _NONE
        if short and not self._is_last:
            self._wait_for_sixteen(short, numbers, others, rows)
            short = [problem for problem in short if problem.first < self._stop]
            numbers, others = numbers[: len(short)], others[others < self._row_of_stop(rows)]
        whole = left_short(numbers, np.array([problem.cells for problem in short], np.int64), others)
        taken = {problem.first for problem, is_whole in zip(short, whole.tolist(), strict=True) if is_whole}
        if taken:
            self._problems = [problem for problem in self._problems if problem.first not in taken]
            for problem in short:
                if problem.first in taken:
                    self._accept_short(problem)
        return _of_last_sixteen(others, rows[: self._stop][self._begins[: self._stop]])

    def _has_more_than_separators(self, first: int, last: int) -> bool:
        text = self._data[self._lines.starts[first] : self._lines.ends[last]]
        return bool(text.replace(self._rules.grammar.separator, b""))

    def _wait_for_sixteen(self, short: list[Problem], numbers: Ints, others: Ints, rows: Ints) -> None:
        """Leave the short rows of a sixteen that goes on behind the block, unless it is none of a spreadsheet."""
        last = sixteen(rows[self._stop - 1 : self._stop])
        waiting = np.flatnonzero(sixteen(numbers) == last)
        if waiting.size and last > 0 and np.count_nonzero(sixteen(others) == last) <= 1 and rows[self._stop - 1] % 16:
            self._stop = short[int(waiting[0])].first

    def _row_of_stop(self, rows: Ints) -> int:
        return int(rows[self._stop]) if self._stop < rows.size else int(rows[-1]) + 1

    def _accept_short(self, problem: Problem) -> None:
        line = problem.first
        if self._lines.quotes[line] == 0 and self._lines.sound[line] and not self._lines.marked[line]:
            self._good[line] = self._plain[line] = True
            return
        record, _ = self._unmarked(line, self._data[self._lines.starts[line] : self._lines.ends[problem.last]])
        self._accept(line, problem.last, self._rules.grammar.cells(record))

    def _empty_tail(self) -> int:
        has_text = np.flatnonzero(~self._is_empty[: self._stop])
        return self._stop - (int(has_text[-1]) + 1 if has_text.size else 0)


def _of_last_sixteen(others: Ints, rows: Ints) -> Ints:
    if not rows.size:
        return others
    found: Ints = others[sixteen(others) == sixteen(rows[-1:])]
    return found
