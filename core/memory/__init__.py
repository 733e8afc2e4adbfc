"""Memory: devices, the plan (formulas), the trace (dry run), and what would fit."""
