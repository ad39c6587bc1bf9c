"""What is learned: answers' lengths, further calls, tools' times, engines' speeds.

Called by the dispatcher (which teaches) and by policies (which ask). To learn another quantity,
give `profiles` a distribution for the quantity. Trades away: decayed histograms forget slowly;
a workload that changes from one minute to the next is learned late.
"""
