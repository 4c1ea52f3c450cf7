"""sync_sio in Flask projects: `from sync_sio_flask import SocketIO`."""
