"""History: what is kept of a run, in memory and in files.

The journal of events, the graph that is read from the journal, the outcomes of calls, and the
replay that gives stored outcomes back in their first order. Called by `calls` and `runs`, and by
the verbs that show runs. To keep more of a run, add a kind of event to `journal`. Trades away:
the journal of a run stands in memory until the run has ended.
"""
