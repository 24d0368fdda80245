"""From notices and alerts to mails that arrive.

What is told has a name for each form that it takes on its way:

* a notice is facts: what happened to a file (`importer.model.Notice`, which the import stores), or what is to be told
  of an alert (`AlertNotice`); an alert itself is a condition that is in the way of the service;
* a letter is words: subject and bodies in the reader's language, without a recipient (`Letter`);
* a mail is a letter to one recipient (`Mail`) and, once it is stored, a row of the queue that waits until its end
  (`LeasedMail` for who sends it, `ListedMail` for who looks at the queue; `MailState` is what became of it);
* a message is the bytes that travel: headers, bodies and packed reports (`messages.Message`).
"""
