"""What a person can put right."""


class UserError(Exception):
    """One line for the person at the terminal, without a traceback: what is wrong, and what to do."""
