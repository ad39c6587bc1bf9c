"""What is done with answers that were drawn: read, compared, counted, cut.

Called by strategies of every kind, and by evaluations for the votes that they count themselves. A
vote (`voting`) is behind every choice by frequency or weight; `readable` and `comparing` see to
it that no answer that can be read is lost, and that none is compared in the event loop;
`failures` are the answers that came to nothing. To add to what counts as equal, give a reader
another `same`. Trades away: all are answers to one question, and a whole answer is text.
"""
