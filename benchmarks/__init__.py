"""The workloads that dotflow is measured by, side by side with its peers."""
