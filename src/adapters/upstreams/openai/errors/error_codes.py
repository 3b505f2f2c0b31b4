"""The words by which providers and gateways say what kind of error one is, each as `ErrorFields.names` spells it.

Sources: OpenAI's error guide and its `ResponseError` codes (openai-python 3.54, `types/responses/response_error.py`),
Azure OpenAI's troubleshooting guide, Google's canonical codes (`google/rpc/code.proto`), Anthropic's error types, the
error classes of the OpenAI SDKs and of LiteLLM, which gateways put into their bodies. A word that may be a fault of the
request as well as of the endpoint is in no list: then nobody is blamed.
"""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


MONEY = _words("""
    insufficientquota creditbalanceexhausted organizationspendlimitexceeded projectspendlimitexceeded
    organizationusagelimitexceeded billinghardlimitreached billingnotactive billingerror insufficientbalance
    insufficientcredits insufficientfunds budgetexceedederror
""")
LIMITED = _words("""
    ratelimitexceeded ratelimiterror ratelimited ratelimitreached ratelimit toomanyrequests toomanyrequestserror
    resourceexhausted throttlingexception throttled
""")
OVERLOADED = _words("serverisoverloaded serviceunavailableerror slowdown")  # ends by itself, if the status says so too

BROKEN = _words("""
    servererror internalerror internalservererror internalfailure internal apierror apiconnectionerror
    engineoverloaded engineerror overloaded overloadederror serveroverloaded modeloverloaded serviceunavailable
    unavailable badgateway badgatewayerror gatewaytimeout upstreamerror upstreamstreamerror upstreamoverloaded
    upstreamtimeout proxyshuttingdown connectionerror backenderror invalidmodeloutput invalidresponseerror
""")
TIMED_OUT = _words("timeout timeouterror requesttimeout apitimeouterror deadlineexceeded")
STATE = _words("previousresponsenotfound invalidencryptedcontent")
MISSING = _words("modelnotfound deploymentnotfound modelnotfounderror invalidmodel unknownmodel")
NOT_FOUND = _words("notfound notfounderror resourcenotfound")
CONFLICT = _words("conflict conflicterror aborted")
BAD_KEY = _words("""
    invalidapikey invalidsubscriptionkey apikeyinvalid authenticationerror unauthenticated unauthorized
    invalidauthentication incorrectapikey expiredapikey apikeyexpired
""")
NO_RIGHTS = _words("""
    permissiondenied permissiondeniederror permissionerror insufficientpermissions insufficientscope
    missingscopes accessdenied accessterminated accountdeactivated authorizationfailed requestforbidden
    unsupportedcountryregionterritory unsupportedcountry ipnotauthorized ipnotallowed invalidorganization
    mismatchedorganization organizationdeactivated organizationdisabled invalidproject mismatchedproject
    projectarchived publicnetworkaccessdisabled publicaccessdisabled privateendpointrequired
    subscriptiondisabled resourceblocked resourcedisabled
""")

REQUEST = _words("""
    invalidrequest invalidrequesterror badrequest badrequesterror invalidargument invalidparameter
    invalidparametererror invalidprompt invalidvalue invalidtype invalidinput invalidjson invalidschema
    invalidfunctionparameters invalidbase64 invalidbase64image missingrequiredparameter missingparameter
    unknownparameter validationerror requestvalidationerror unprocessableentity unprocessableentityerror
    failedprecondition outofrange contentfilter contentfiltered contentfiltering contentblocked promptblocked
    promptfiltered prohibitedcontent blocklist flagged jailbreak recitation refusal refused sensitive
    sensitivewordsdetected datainspectionfailed integerabovemaxvalue integerbelowminvalue decimalabovemaxvalue
    decimalbelowminvalue stringabovemaxlength stringbelowminlength arrayabovemaxlength arraybelowminlength
    emptyarray emptystring emptyimagefile failedtodownloadimage failedtodownloadfile vectorstoretimeout
    dataresidencymismatch toolusefailed jsonvalidatefailed toomanyimages tokenslimitreached payloadtoolarge
    requestentitytoolarge methodnotallowed unsupportedmediatype
""")
"""About the request itself: what it says, what it asks for, how it is written, what is refused about it."""

REQUEST_BEGINS = ("unsupported", "invalidimage", "image", "contentpolicy", "invalidfile", "invalidurl", "invalidaudio")
REQUEST_HOLDS = _words("""
    policyviolation contentpolicy usagepolicy responsibleaipolicy moderation guardrail safety contextlength
    contextwindow toolong toolarge maxlength
""")
REQUEST_ENDS = ("policy",)


def is_about_request(names: tuple[str, ...]) -> bool:
    """Does one of these words say that the error is the request's?"""
    return any(
        name in REQUEST
        or name.startswith(REQUEST_BEGINS)
        or name.endswith(REQUEST_ENDS)
        or any(part in name for part in REQUEST_HOLDS)
        for name in names
        if name not in NO_RIGHTS
    )
