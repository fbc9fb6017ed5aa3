"""Generate the demo model's sentences from a small English and German grammar, split into training and held-out text.

A sentence is held out if the hash of its words falls into share ``HELD_OUT`` of ``N_SHARES``, so no sentence of the
test set can ever occur in training.
"""

import hashlib
import random
import re

N_SHARES = 12
HELD_OUT = 0  # the share that training never sees


def _words(text: str) -> list[str]:
    return text.split()


def _phrases(text: str) -> list[str]:
    return [" ".join(part.split()) for part in text.split("|")]


NAMES = _words("Anna Peter Maria Thomas Laura Robert Sandra Martin Julia Daniel")
EN = {
    "name": NAMES,
    "noun": _words("""
        house garden river table window letter book train bridge market doctor teacher picture story
        question answer morning evening dinner coffee water bread apple camera computer ticket station
        airport hospital school kitchen office village mountain island forest summer winter holiday birthday
        music concert movie
    """),
    "things": _words("""
        houses tables windows letters books trains bridges pictures tickets cameras hospitals apples
    """),
    "adjective": _words("""
        old new small large green blue red white black quiet cold warm heavy light beautiful strange simple
        important different early late happy broken empty open expensive
    """),
    "person": _words("""
        man woman child boy girl farmer driver neighbour friend brother sister mother father captain
    """),
    "verb": _words("""
        found bought sold painted opened closed cleaned carried forgot described showed moved wanted
    """),
    "place": _phrases("""
        in the garden | at the station | near the river | behind the house | under the bridge | in the
        kitchen | at the market | on the table | in the city | by the sea | next to the school | across the
        street
    """),
    "time": _phrases("""
        yesterday | today | tomorrow | last week | this morning | on Monday | on Tuesday | on Friday | on
        Sunday | in the evening | after dinner | before breakfast | every day | in the summer | at night
    """),
    "digit": _words("""
        zero one two three four five six seven eight nine
    """),
    "tens": _words("""
        twenty thirty forty fifty sixty seventy eighty ninety
    """),
    "unit": _words("""
        minutes hours days weeks months years dollars kilometers
    """),
    "templates": [
        "The {adjective} {noun} is {place}.",
        "The {person} {verb} the {adjective} {noun} {time}.",
        "{name} {verb} a {adjective} {noun} {place}.",
        "{name} and {name2} will meet {place} {time}.",
        "The code is {digit} {digit2} {digit3} {digit4}.",
        "My number is {digit} {digit2} {digit3} {digit4} {digit5}.",
        "It takes {tens} {digit} {unit} to reach the {noun}.",
        "Please bring the {noun} and the {noun2} {time}.",
        "Where is the {adjective} {noun}?",
        "Did the {person} see the {noun} {place}?",
        "There are {tens} {things} {place}.",
        "We waited {tens} {unit} for the {person}.",
        "I think the {noun} is very {adjective}.",
        "She {verb} the {noun}, but he wanted the {noun2}.",
        "The {person} lives {place} with a {adjective} {noun}.",
        "{time}, {name} {verb} the {noun}.",
        "Nobody knows why the {noun} was so {adjective}.",
        "Can you help the {person} with the {noun}?",
        "The first {noun} was {adjective} and the second was {adjective2}.",
        "{name} said that the {person} {verb} the {noun}.",
    ],
}
DE = {
    "name": NAMES,
    "noun": _phrases("""
        das Haus | der Garten | der Tisch | das Fenster | der Brief | das Buch | der Zug | die Stadt | der
        Markt | die Schule | die Tasche | das Bild | die Frage | der Kaffee | das Wasser | das Brot | die
        Karte | der Computer | die Musik | das Auto
    """),
    "adjective": _words("""
        alt neu klein schön kalt warm schwer leicht teuer offen leer kaputt ruhig wichtig
    """),
    "person": _phrases("""
        der Mann | die Frau | das Kind | der Lehrer | der Nachbar | die Mutter | der Bruder | die Schwester
    """),
    "verb": _words("""
        gekauft verkauft gefunden vergessen gesehen geöffnet gebracht beschrieben
    """),
    "place": _phrases("""
        am Bahnhof | im Garten | in der Küche | auf dem Markt | hinter der Brücke | am Fluss | in der Stadt
    """),
    "time": _phrases("""
        heute | gestern | morgen | am Montag | am Freitag | am Abend | im Sommer | jeden Tag
    """),
    "digit": _words("""
        null eins zwei drei vier fünf sechs sieben acht neun
    """),
    "tens": _words("""
        zwanzig dreißig vierzig fünfzig sechzig siebzig achtzig neunzig
    """),
    "unit": _words("""
        Minuten Stunden Tage Wochen Jahre Euro Kilometer
    """),
    "templates": [
        "{noun} ist {place}.",
        "{noun} war {time} sehr {adjective}.",
        "{person} hat {time} nichts {verb}.",
        "{name} und {name2} treffen sich {time} {place}.",
        "Die Nummer ist {digit} {digit2} {digit3} {digit4}.",
        "Der Code lautet {digit} {digit2} {digit3} {digit4} {digit5}.",
        "Es dauert {tens} {unit}.",
        "Wo ist {noun}?",
        "{name} hat den Computer {place} {verb}.",
        "{person} wohnt {place} und {noun} ist {adjective}.",
        "Ich glaube, {noun} ist {adjective}.",
        "Wir warten {tens} {unit} auf {name}.",
        "{time} war {noun} {adjective} und {noun2} {adjective2}.",
        "Warum ist {noun} so {adjective}?",
    ],
}
GRAMMARS = {"en": EN, "de": DE}


def sentence(rng: random.Random, language: str, held_out: bool) -> str:
    """Draw a sentence of ``language`` (``en`` or ``de``) from the training text, or from the held-out share."""
    while True:
        text = _fill(rng, GRAMMARS[language])
        if is_held_out(text) == held_out:
            return text


def is_held_out(text: str) -> bool:
    """Return whether a sentence belongs to the share that training never sees; ignores case and punctuation."""
    digest = hashlib.sha256(" ".join(words_of(text)).encode()).digest()
    return int.from_bytes(digest[:4], "big") % N_SHARES == HELD_OUT


def words_of(text: str) -> list[str]:
    """Return the words of a sentence, casefolded, without punctuation."""
    return re.findall(r"\w+", text.casefold())


def vocabulary() -> list[str]:
    """Return every word of both grammars, casefolded and sorted: the classes of the word head."""
    words: set[str] = set()
    for grammar in GRAMMARS.values():
        for entries in grammar.values():
            for entry in entries:
                words.update(words_of(re.sub(r"\{\w+\}", " ", entry)))
    return sorted(words)


def _fill(rng: random.Random, grammar: dict[str, list[str]]) -> str:
    template = rng.choice(grammar["templates"])

    def draw(match: re.Match[str]) -> str:
        return rng.choice(grammar[match.group(1).rstrip("0123456789")])

    text = re.sub(r"\{(\w+)\}", draw, template)
    return text[0].upper() + text[1:]
