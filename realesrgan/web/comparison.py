"""원본과 결과의 비교: 경계를 옮기고 확대하는 칸. 마우스, 손가락, 키보드로 쓴다."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

import gradio as gr

from realesrgan.web.words import Words

# 이 클래스의 비교에 이미지가 있을 때만 곁의 조절하는 칸을 보인다. `:has`를 모르는 브라우저에서는 마우스로만 쓴다.
CSS = """
.block.realesrgan-divider { display: none; }
:has(> .realesrgan-compare img) > .block.realesrgan-divider { display: block; }
.realesrgan-divider .row { display: flex; flex-wrap: wrap; gap: 0.5rem; align-items: center; }
.realesrgan-divider label { flex: 1 1 14rem; display: flex; flex-direction: column; }
.realesrgan-divider input { width: 100%; min-height: 1.5rem; accent-color: var(--color-accent); }
.realesrgan-divider button { margin: 0 !important; min-width: 2.75rem; min-height: 2.75rem; padding: 0 0.75rem;
  border-radius: 6px; border: 1px solid var(--border-color-primary);
  background: var(--button-secondary-background-fill); }
"""
# gradio의 비교는 마우스로만 움직인다. 키보드가 닿는 칸을 두고, 확대는 가운데에서 굴린 바퀴로 전한다. 마우스로 옮기면
# 칸도 따라간다. 확대한 동안의 자른 자리는 경계의 자리와 달라 따라가지 않는다.
_SCRIPT = """
const range = element.querySelector('input');
const images = () => [...document.querySelectorAll('#' + element.querySelector('.row').dataset.target + ' img')];
range.addEventListener('input', () => {
  range.setAttribute('aria-valuetext', range.value + '%');
  trigger('input');
});
for (const button of element.querySelectorAll('button')) {
  button.addEventListener('click', () => {
    const [image] = images();
    const box = image.getBoundingClientRect();
    const at = { clientX: box.left + box.width / 2, clientY: box.top + box.height / 2 };
    for (let turn = 0; turn < 5; turn++) {
      image.dispatchEvent(new WheelEvent('wheel',
        { ...at, deltaY: Number(button.dataset.turn), bubbles: true, cancelable: true }));
    }
  });
}
document.addEventListener('pointerup', () => {
  const [, after] = images();
  const cut = after && /inset\\(0px 0px 0px ([\\d.]+)%\\)/.exec(after.style.clipPath);
  if (cut && /scale\\(1\\)/.test(after.style.transform)) range.value = cut[1];
});
"""


def build_comparison(words: Words, name: str, **options: Any) -> gr.ImageSlider:
    """비교하는 칸과 그것을 조절하는 칸을 놓는다. 값이 없으면 둘 다 보이지 않는다.

    Args:
        words: 화면의 말.
        name: 칸의 이름(`elem_id`). 화면마다 다르다.
        options: `gr.ImageSlider`에 더 줄 것.

    Returns:
        비교하는 칸. 값은 `(원본, 결과)`의 경로다.
    """
    shown = gr.ImageSlider(
        label=words["compare"],
        type="filepath",
        interactive=False,
        visible=False,
        buttons=["fullscreen"],
        elem_id=name,
        elem_classes="realesrgan-compare",
        **options,
    )
    label, more, less = (html.escape(words[one]) for one in ("divider", "zoom_in", "zoom_out"))
    control = gr.HTML(
        f'<div class="row" data-target="{name}"><label>{label}'
        '<input type="range" min="0" max="100" step="1" value="50" aria-valuetext="50%"></label>'
        f'<span><button type="button" data-turn="-1">{more}</button> '
        f'<button type="button" data-turn="1">{less}</button></span></div>',
        elem_id=f"divider-{name}",
        elem_classes="realesrgan-divider",
        js_on_load=_SCRIPT,
    )
    move = f"""() => [{{ __type__: 'update',
        slider_position: Number(document.querySelector('#divider-{name} input').value) }}]"""
    control.input(None, None, [shown], js=move, api_visibility="private", show_progress="hidden")
    return shown


def shown_pair(views: Sequence[str] | None) -> Any:
    """비교하는 칸을 새로 그릴 값. 없으면 감춘다."""
    return gr.update(value=tuple(views) if views else None, visible=bool(views))
