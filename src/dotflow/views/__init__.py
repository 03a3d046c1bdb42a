"""What people see of a workflow: graphs, the view of a run that is on, tables for notebooks."""
