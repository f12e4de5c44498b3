import subprocess

subprocess.Popen(["sleep", "600"], start_new_session=True)
print("done, and somebody is still there")
