"""sync_sio in Django projects: `"sync_sio_django"` in `INSTALLED_APPS`."""
