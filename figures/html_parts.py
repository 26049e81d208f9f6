"""Parts of self-contained HTML pages."""

import base64
import html


def table(head, rows, numeric=()):
    """Returns a table that scrolls sideways where it is wide.

    Args:
        head: Names of the columns.
        rows: Sequences of cells.
        numeric: Indices of the columns that are right-aligned.
    """

    def line(cells, tag):
        classes = (" class=number" if i in numeric else "" for i in range(len(cells)))
        scope = " scope=col" * (tag == "th")
        marked = (
            f"<{tag}{c}{scope}>{html.escape(str(cell))}</{tag}>"
            for c, cell in zip(classes, cells, strict=True)
        )
        return f"<tr>{''.join(marked)}</tr>"

    body = "\n".join(line(row, "td") for row in rows)
    rows_html = f"<thead>{line(head, 'th')}</thead><tbody>\n{body}\n</tbody>"
    return f"<div class=wide tabindex=0><table>{rows_html}</table></div>"


def picture(png, text):
    """Returns an image with the bytes of a PNG file in it, and `text` for those who do not see it."""
    data = base64.b64encode(png).decode()
    return f'<img alt="{html.escape(text, quote=True)}" src="data:image/png;base64,{data}">'
