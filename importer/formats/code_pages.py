"""The code pages in which clients' programs may write, for files that are not UTF-8. Data."""

from enum import StrEnum


class CodePage(StrEnum):
    """What a client's files are written in where they are not UTF-8, by the name that the setting has for it.

    AUTO is Windows-1252, given up as soon as the file speaks against it. Any other one is obeyed.
    """

    AUTO = "auto"
    WINDOWS_1250 = "windows-1250"
    WINDOWS_1251 = "windows-1251"
    WINDOWS_1252 = "windows-1252"
    WINDOWS_1253 = "windows-1253"
    WINDOWS_1254 = "windows-1254"
    WINDOWS_1255 = "windows-1255"
    WINDOWS_1256 = "windows-1256"
    WINDOWS_1257 = "windows-1257"
    WINDOWS_1258 = "windows-1258"
    MACROMAN = "macroman"
    MAC_CENTRAL_EUROPE = "mac-central-europe"
    MAC_CYRILLIC = "mac-cyrillic"
    CP437 = "cp437"
    CP850 = "cp850"
    CP852 = "cp852"
    CP863 = "cp863"
    CP866 = "cp866"
    ISO_8859_2 = "iso-8859-2"
    ISO_8859_5 = "iso-8859-5"
    ISO_8859_7 = "iso-8859-7"
    ISO_8859_9 = "iso-8859-9"
    ISO_8859_15 = "iso-8859-15"
    KOI8_R = "koi8-r"
    KOI8_U = "koi8-u"
    SHIFT_JIS = "shift_jis"
    EUC_JP = "euc-jp"
    GB18030 = "gb18030"
    BIG5 = "big5"
    EUC_KR = "euc-kr"

    @property
    def codec(self) -> str:
        """The name that Python has for it; East Asian ones with what Windows has added to them."""
        return _CODECS.get(self, self.value)

    @property
    def shown(self) -> str:
        """The name that sentences have for it."""
        return self.value.replace("windows", "Windows").replace("macroman", "MacRoman")


_CODECS = {
    CodePage.AUTO: "windows-1252",
    CodePage.MACROMAN: "mac-roman",
    CodePage.MAC_CENTRAL_EUROPE: "mac-latin2",
    CodePage.SHIFT_JIS: "cp932",
    CodePage.BIG5: "cp950",
    CodePage.EUC_KR: "cp949",
}
