"""Measurements that can be repeated: each is a program that prints its figures and how it got them."""
