"""Running a head office: what it says of itself, how it is stopped, copied and brought back."""
