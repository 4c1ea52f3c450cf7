"""What users mean: namespaces, events, rooms, acknowledgements."""
