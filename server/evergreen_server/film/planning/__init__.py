"""From a script to a plan, and from a plan to the next one."""
