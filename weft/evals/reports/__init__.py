"""What is said of an evaluation's results: comparisons, findings, tables, the page, its picture.

Called by the runner's session and by `weft eval`. To add a table, write what makes a
`ReportSection`; to have something compared, ask `Comparisons`, which judges all of a report
together. Trades away: the more a report compares, the surer each difference must be.
"""
