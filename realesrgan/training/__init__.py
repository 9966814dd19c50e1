"""훈련(Training): BasicSR 다리, 체크포인트, 분산 실행, 훈련 고리."""
