"""The languages that Whisper knows, by code and by name."""

from difflib import get_close_matches

from emocli.errors import ModelError

_NAMES = """
en english, zh chinese, de german, es spanish, ru russian, ko korean, fr french, ja japanese,
pt portuguese, tr turkish, pl polish, ca catalan, nl dutch, ar arabic, sv swedish, it italian,
id indonesian, hi hindi, fi finnish, vi vietnamese, he hebrew, uk ukrainian, el greek, ms malay,
cs czech, ro romanian, da danish, hu hungarian, ta tamil, no norwegian, th thai, ur urdu,
hr croatian, bg bulgarian, lt lithuanian, la latin, mi maori, ml malayalam, cy welsh, sk slovak,
te telugu, fa persian, lv latvian, bn bengali, sr serbian, az azerbaijani, sl slovenian,
kn kannada, et estonian, mk macedonian, br breton, eu basque, is icelandic, hy armenian, ne nepali,
mn mongolian, bs bosnian, kk kazakh, sq albanian, sw swahili, gl galician, mr marathi, pa punjabi,
si sinhala, km khmer, sn shona, yo yoruba, so somali, af afrikaans, oc occitan, ka georgian,
be belarusian, tg tajik, sd sindhi, gu gujarati, am amharic, yi yiddish, lo lao, uz uzbek,
fo faroese, ht haitian creole, ps pashto, tk turkmen, nn nynorsk, mt maltese, sa sanskrit,
lb luxembourgish, my myanmar, bo tibetan, tl tagalog, mg malagasy, as assamese, tt tatar,
haw hawaiian, ln lingala, ha hausa, ba bashkir, jw javanese, su sundanese, yue cantonese
"""

LANGUAGES = dict(entry.strip().split(" ", 1) for entry in _NAMES.split(","))
"""Name by code, 100 languages in the order of their tokens in the vocabulary."""

_OTHER_NAMES = {
    "burmese": "my",
    "valencian": "ca",
    "flemish": "nl",
    "haitian": "ht",
    "letzeburgesch": "lb",
    "pushto": "ps",
    "panjabi": "pa",
    "moldavian": "ro",
    "moldovan": "ro",
    "sinhalese": "si",
    "castilian": "es",
    "mandarin": "zh",
    "javanese": "jw",
    "jv": "jw",
    "nb": "no",
}
_CODE_BY_NAME = {name: code for code, name in LANGUAGES.items()} | _OTHER_NAMES


def language_code(language: str) -> str:
    """The code of a language given by code or name, in any case.

    Raises:
        ModelError: no such language; the sentence lists those that look alike.

    Example:
        >>> language_code("Polish"), language_code("EN")
        ('pl', 'en')
    """
    wanted = language.strip().casefold()
    if wanted in LANGUAGES:
        return wanted
    if wanted in _CODE_BY_NAME:
        return _CODE_BY_NAME[wanted]
    alike = get_close_matches(wanted, [*_CODE_BY_NAME, *LANGUAGES], n=3)
    remedy = (
        f"Did you mean {' or '.join(alike)}?"
        if alike
        else "Give one such as en or polish, or leave it out to have it detected."
    )
    raise ModelError(
        f"Language {language!r} is none of the {len(LANGUAGES)} that Whisper knows. {remedy}"
    )
