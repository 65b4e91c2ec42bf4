"""Speech recognition with Whisper, computed by openai-whisper or by faster-whisper."""
