"""훈련 모델: RealESRNetModel과 RealESRGANModel. 이 파일 자체는 BasicSR을 불러오지 않는다."""
