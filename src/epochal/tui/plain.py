"""Screens for consoles that draw ASCII alone: whatever is painted, its last door to the terminal turns signs into twins."""

from __future__ import annotations

from textual.drivers.linux_driver import LinuxDriver


_TWINS = str.maketrans(
    {
        **dict.fromkeys("─━┄┅┈–—−‐", "-"),
        **dict.fromkeys("│┤├▏▎▍▌▐▕", "|"),
        **dict.fromkeys("┌┐└┘┬┴┼", "+"),
        **dict.fromkeys("█▉▊▋▄▅▆▇▀", "#"),
        **dict.fromkeys("▁▂▃·", "."),
        **dict.fromkeys("“”„", '"'),
        **dict.fromkeys("‘’", "'"),
        "…": "~",
        "±": "~",
        "→": ">",
        "←": "<",
        "▸": ">",
        "↑": "^",
        "↓": "v",
        "×": "x",
        "²": "2",
        "³": "3",
        "●": "O",
        **{chr(0x2800 + dots): "*" if dots else " " for dots in range(256)},
        **{chr(0x2400 + code): "^" for code in range(0x24)},
    }
)
"""Signs of the screens to what an ASCII console draws instead, a cell each."""


def plain(text: str, encoding: str = "utf-8") -> str:
    """Text for a console of few signs: ours as their twins; what `encoding` lacks as `?`."""
    return text if text.isascii() else text.translate(_TWINS).encode(encoding, "replace").decode(encoding)


class PlainDriver(LinuxDriver):
    """The terminal of a console that draws few signs beside letters."""

    def write(self, data: str) -> None:
        """Write what can be drawn."""
        super().write(plain(data, getattr(self._file, "encoding", None) or "ascii"))
