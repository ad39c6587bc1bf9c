"""Answers as they come: meters of streams, the text of an answer, and whole answers as streams.

Called by the protocols and by inference. To read another form of answer, add the form to
`answer_text` and `told_whole`, and a meter to its protocol. Trades away: only the fields that weft
needs are read, so what else an answer says is not checked.
"""
