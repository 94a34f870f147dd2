from lib.report.pages import command

command()
