"""Leases: what vLLM keeps in its KV cache, in which order it forgets.

Stock vLLM forgets by age alone. `connector.WeftLeases`, a KV connector that moves nothing, makes
it forget last what a scheduler has asked to keep. It runs within vLLM; `weft engines up` brings it
along, and on other hosts one flag does:

    vllm serve MODEL --kv-transfer-config '{"kv_connector": "WeftLeases",
      "kv_connector_module_path": "weft.leases.connector", "kv_role": "kv_producer"}'

`directive` is what requests say, `terms` says which leases end and which give up blocks first.
`book` keeps leases on blocks, `free_list` is vLLM's list of free blocks with held ones at its end.
`leased_index` does the same in a prefix index: for simulated engines, and for the scheduler, which
foretells by it what an engine has. Called by vLLM, simulated engines and the scheduler. To follow a
change of vLLM's interface, edit `connector`, `free_list` and `metrics`, which alone import vLLM.
Trades away: a lease is a wish. Held blocks stay free to vLLM, so nothing that runs is ever
preempted, refused or kept waiting for them, and a request that needs the room gets it.
"""
