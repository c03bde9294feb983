"""The built-in redaction: precise rather than complete, in time linear in the text.

`redact` replaces e-mail addresses, telephone numbers, payment cards (checked by Luhn), IBANs (checked by mod 97) and
keys of well-known shapes by ``[email]``, ``[phone]``, ``[card]``, ``[iban]`` and ``[key]``. Names and addresses need a
model: give one of your own as ``redact=``.
"""

from streamgauge.redaction.builtin import redact

__all__ = ["redact"]
