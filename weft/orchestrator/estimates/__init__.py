"""What is learned: answers' lengths, further calls, tools' times, engines' speeds.

Called by the dispatcher (which teaches) and by policies (which ask). To learn another quantity,
name the quantity in `experience`, and give `profiles` what teaches the quantity and what asks for
it. Trades away: decayed histograms forget slowly; a workload that changes from one minute to the
next is learned late.
"""
