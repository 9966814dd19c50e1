"""운영체제 오류(OSError)를 한국어로 옮긴다."""

from __future__ import annotations

import errno

_REASONS = {
    errno.ENOENT: ("파일이나 폴더가 없습니다.", "경로와 이름을 확인하세요."),
    errno.ENOTDIR: ("경로 가운데에 폴더가 아닌 것이 있습니다.", "경로를 확인하세요."),
    errno.EISDIR: ("파일이 아니라 폴더입니다.", "파일 이름까지 적어 주세요."),
    errno.EACCES: ("권한이 없습니다.", "파일과 폴더의 권한을 확인하거나 다른 폴더를 쓰세요."),
    errno.EPERM: ("권한이 없습니다.", "파일과 폴더의 권한을 확인하거나 다른 폴더를 쓰세요."),
    errno.EROFS: ("읽기 전용 저장 장치입니다.", "다른 폴더를 쓰세요."),
    errno.ENOSPC: ("디스크가 가득 찼습니다.", "자리를 비우거나 다른 디스크의 폴더를 쓰세요."),
    errno.EFBIG: ("파일 시스템이 담을 수 있는 크기를 넘습니다.", "다른 형식이나 다른 디스크를 쓰세요."),
    errno.ENAMETOOLONG: ("이름이 너무 깁니다.", "더 짧은 이름을 쓰세요."),
    errno.EPIPE: ("받는 쪽이 파이프를 닫았습니다.", "받는 프로그램이 끝까지 읽는지 확인하세요."),
    errno.EMFILE: ("열린 파일이 너무 많습니다.", "다른 프로그램을 닫고 다시 하세요."),
}
if hasattr(errno, "EDQUOT"):
    _REASONS[errno.EDQUOT] = ("디스크 할당량(quota)을 다 썼습니다.", "자리를 비우거나 다른 디스크의 폴더를 쓰세요.")


def os_reason(error: OSError) -> tuple[str, str]:
    """오류의 `(이유, 해결)`을 한국어 두 문장으로 돌려준다."""
    known = _REASONS.get(error.errno) if error.errno is not None else None
    return known or (f"{error.strerror or error}", "경로와 저장 장치의 상태를 확인하세요.")
