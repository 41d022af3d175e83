print("adadiff")
