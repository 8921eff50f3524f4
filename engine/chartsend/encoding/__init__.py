"""Pure encoders: base64 in chunks, a JSON envelope with a hole, a streaming multipart."""
