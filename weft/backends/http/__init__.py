"""What engines behind HTTP share: the client, request bodies, and what refusals mean.

Called by the engines that speak HTTP, by the service and by retrievers. To read the refusals of
another server, add its words to the table in `refusals`. Trades away: what only one server says
stands beside what all say.
"""
