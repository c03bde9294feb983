"""Built-in redaction: precise rather than complete, in time linear in the text.

`redact` replaces e-mail addresses, telephone numbers, payment cards (Luhn check), IBANs (mod 97 check) and keys of
well-known formats by ``[email]``, ``[phone]``, ``[card]``, ``[iban]`` and ``[key]``. Names and postal addresses need a
model: pass your own function as ``redact=``.
"""

from streamgauge.redaction.builtin import redact

__all__ = ["redact"]
