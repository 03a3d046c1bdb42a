"""How each contestant does the workloads: one module or package each."""
