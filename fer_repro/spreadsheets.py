"""What spreadsheets make of CSV files: a text that begins like a formula is computed."""


def harmless(text: str) -> str:
    """Put an apostrophe before a text that a spreadsheet would compute; numbers stay what they are.

    Names of classes, people and files come from other people's folders, and CSV files are opened with
    programs that run what begins like a formula.

    >>> harmless("=HYPERLINK(1)"), harmless("happy"), harmless("-1.5")
    ("'=HYPERLINK(1)", 'happy', '-1.5')
    """
    line = text.replace("\r", " ")  # which ends a row for some readers, quoted or not
    if not line.lstrip().startswith(("=", "+", "-", "@")):
        return line
    try:
        [float(number) for number in line.split()]  # one, or an embedding's
    except ValueError:
        return f"'{line}"
    return line
