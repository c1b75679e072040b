"""Figures: functions of arrays and tables."""
