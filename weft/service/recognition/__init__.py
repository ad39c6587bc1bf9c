"""Programs known again by what their conversations say, where clients send no id.

Called by inference, and kept over restarts by state. A request is compared with what is remembered
of earlier ones, from the surest sign to the least sure: it extends an earlier one
(`conversations`), its beginning was changed (`rewritten`), or it begins anew where another one
stopped (`restarts`). To recognise another way in which clients rewrite their history, add a sign
beside these. Trades away: of two sessions of one client the second may be taken for the first one,
compacted, until the first one goes on.
"""
