"""How answers are written: where a text states one, in which markup, and what numbers are worth.

Called by readers. To add a language's word for "answer", put it into `answer_words`; a sign or a
command of LaTeX, into `markup`. Trades away: nothing is understood, only forms are known.
"""
