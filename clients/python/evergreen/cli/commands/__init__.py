"""The commands, by what they are about; what they share lies beside this folder."""
