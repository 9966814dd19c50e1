"""비디오 한 편을 키우는 일. 파일은 `media.video`가, 프레임은 `inference.frames`가 맡고 여기서 둘을 잇는다."""
