"""The table of attempts in docs/security.md."""
import re

from attack import PROTECTIONS


def table(attempts):
    themes = {}
    for attempt in attempts:
        themes.setdefault(attempt.theme, []).append(attempt)
    return '\n'.join(part_of(theme, rows) for theme, rows in themes.items())


def part_of(theme, rows):
    lines = [f'### {theme}', '', '| a tenant cannot | it gets | what stands in the way | ids |', '|---|---|---|---|']
    for row in rows:
        cells = (escaped(row.what), ', '.join(row.answer), way_of(row), ' '.join(row.ids))
        lines.append('| ' + ' | '.join(cells) + ' |')
    return '\n'.join(lines) + '\n'


def way_of(row):
    if row.because:
        return f'no control: {row.because}'
    ways = '; '.join(PROTECTIONS[word] for word in row.without)
    # Its control may end as the attempt does.
    is_everywhere = not set(row.control) & set(row.answer)
    return ways if is_everywhere else f'{ways}; shown where the kernel has it'


def escaped(text):
    return re.sub(r'[|<>]', lambda found: '\\' + found[0], text)
