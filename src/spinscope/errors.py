"""The one error a user sees: a sentence that names the thing, its value and the rule."""


class SpinscopeError(ValueError):
    """Bad input or a refused action; its text is one clear sentence for a person to act on."""


class SpinscopeWarning(UserWarning):
    """Doubt about a result that is given all the same; its text is one clear sentence."""
