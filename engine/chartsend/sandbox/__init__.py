"""Redox on a laptop: a server process that behaves like Redox's file-sending APIs.

It is the witness of every test, so it imports nothing of chartsend but itself: it must not share a
bug with the code it judges. What Redox documents is enforced; what is unknown has a switch.

The rooms: `server` (ports, life and death), `exchange` (one request from its head to its answer),
`connection` (what aiohttp's server does not do: caps, resets, timeouts), `streams`, `json_stream`,
`multipart_stream` and `base64_stream` (bodies of any size in little memory), `store` (files),
`events` (the fsynced log), `tokens`, `blobs`, `fhir`, `data_model` (the APIs), `faults` and
`fault_actions` (what a test may script), `admin` and `log_page` (what people and tests look at).
"""
