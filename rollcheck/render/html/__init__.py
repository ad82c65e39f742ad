"""The page that a person opens: one file that needs no network, no server and, for its words, no JavaScript.

Here belongs: the page of a run (`run`), of a load (`load`), of two of either beside each other (`pair`); what they are
put together from (`markup`, `page`), the words and tables that are plain HTML (`verdict`, `causes`, `tables`), and the
compact data (`pack`, `moments`, `raw`) out of which the script in `static/` draws the timeline and shows every fact.

Two rules keep names that others chose harmless. Text becomes HTML in `markup.el` alone, which cleans and escapes all
of it; and the script writes text nodes, never markup. Data goes to the script packed and in base64, so nothing in it
can end the element that holds it.
Not here: reading documents, deciding anything, files.
"""
