"""What a sweep shows: tables on the screen, TensorBoard, a page with pictures."""
