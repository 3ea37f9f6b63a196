"""Which server renders which film: runs queue for slots, and each server fills its own, projects in turn."""
