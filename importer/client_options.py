"""The options that a client may have of its own, as far as the import of its files asks for them."""

from dataclasses import dataclass

from importer.formats.code_pages import CodePage
from importer.model import Remarks


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientOptions:
    """The options by which a client's files are read, and the client told of them.

    Attributes:
        language: the language of the reasons in its reports.
        code_page: what its files are written in where they are not UTF-8.
        remarks: the remarks that it is mailed though every row was imported.
    """

    language: str = "en"
    code_page: CodePage = CodePage.AUTO
    remarks: Remarks = Remarks.NEW


ORDINARY = ClientOptions()
"""The options of a client that has none of its own, where no common ones are set."""
