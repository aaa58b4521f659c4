"""The programs on other people's computers: one runtime (reach, prove, resume), one folder per role."""
