"""What any service needs around its work: tasks, threads, ids, logs, clocks, files. Imports nothing of ours."""
